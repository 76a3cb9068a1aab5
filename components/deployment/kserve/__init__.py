"""The engine `kserve`: releases behind an InferenceService and the weights of its HTTPRoute."""
