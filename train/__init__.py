"""Training: sequences -> curated crops -> pairs -> responses -> loss. `mfst train RECIPE` runs it."""
