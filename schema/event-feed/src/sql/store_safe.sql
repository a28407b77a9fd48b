-- Forward only, and not past the log: see V021. Returns what stands afterwards.
select publish_safe_position($1)
