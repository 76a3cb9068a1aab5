"""One deployment as it goes: candidate, checks, steps, promotion or the way back; noted as it is done."""
