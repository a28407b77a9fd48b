-- The reaction handles it once more; a moment later the row is gone or has counted another attempt.
update parked_reaction set retry_asked = true where name = $1 and position = $2
