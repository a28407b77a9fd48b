//! What every process needs: configuration, telemetry, clock, shutdown, pools, problems, tokens, sealing.
