"""The swarm: whole nodes, crashing disks, a hostile segment and busy users, all from one seed."""
