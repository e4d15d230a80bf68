"""From loops to text: the Python file that is run, and other spellings of a program for people to read."""
