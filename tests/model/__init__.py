"""The models in docs/model, checked by spin, and the code walked along their traces."""
