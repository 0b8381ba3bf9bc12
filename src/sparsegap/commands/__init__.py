"""One command a file: it parses, calls a library function, prints. What is heavy is imported inside the function: --help stays fast."""
