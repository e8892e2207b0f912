"""What is wrong with this machine or this project, and how to mend it."""
