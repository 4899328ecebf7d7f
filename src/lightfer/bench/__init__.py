"""The main flow of `lightfer bench`: cases, rounds of time, blocks of energy, the journal."""
