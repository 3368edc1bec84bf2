"""What the commands share: arguments, threads, progress, memory; and the commands that need no room of their own."""
