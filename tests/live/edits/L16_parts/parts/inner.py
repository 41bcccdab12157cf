from .._words import V
