"""The only writer of MLflow: what of a study is shown, and when it is sent."""
