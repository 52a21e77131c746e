"""What a sweep is made of: axes, commands, their folder, their processes, and what came out."""
