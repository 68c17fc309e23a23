"""What a capture itself says of the processes its packets are of: functions on bytes, and the state between them."""
