"""The Hugging Face Hub: downloads that are continued and checked, and detectors pushed with their card."""
