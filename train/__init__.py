"""Training: sequences -> curated crops -> pairs -> responses -> loss. `python -m train RECIPE` runs it."""
