"""How good a model's answers are: measured where labels have arrived, estimated where they have not."""
