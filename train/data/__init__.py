"""Data of training: annotated videos -> curated crops -> those held out -> pairs, augmented."""
