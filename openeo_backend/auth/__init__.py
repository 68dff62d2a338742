"""Who a request comes from: users, tokens and HTTP Basic."""
