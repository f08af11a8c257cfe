"""How weights/embedded.safetensors was made: one recipe, see `recipe.py`."""
