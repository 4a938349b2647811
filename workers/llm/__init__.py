"""The LLM module: gets contracts' prompts answered by the models of providers."""
