"""Small programs that use VerityDB the way its users do. The tests run each of them."""
