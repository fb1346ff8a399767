"""From the handle that a user names to an artifact whose vectors were measured."""
