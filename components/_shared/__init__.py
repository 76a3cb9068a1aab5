"""What two or more rooms need. Knows no room."""
