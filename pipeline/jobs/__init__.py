"""Jobs that runners work at elsewhere: submitted, asked, cancelled, and told of as they are."""
