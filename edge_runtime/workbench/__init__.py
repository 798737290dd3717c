"""What a person asks of a model or a board before it works: check, try, measure, describe."""
