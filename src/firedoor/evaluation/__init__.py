"""Judge a model by the rows that it was not trained on: figures, intervals, rules, a verdict."""
