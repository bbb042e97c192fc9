"""The `veritydb` command: one file per noun, each a thin layer over the SDK or the server."""
