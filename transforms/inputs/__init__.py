"""What an input holds: globs, folders, manifests, and listings of stores."""
