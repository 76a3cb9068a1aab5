"""The model server: one model behind the Open Inference Protocol, on a laptop and in a pod."""
