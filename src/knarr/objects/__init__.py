"""Pure walks over JSON objects guided by a Schema."""
