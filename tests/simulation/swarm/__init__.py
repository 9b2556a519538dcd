"""The swarm: whole nodes on simulated disks and a simulated segment, troubled by all that can go wrong."""
