"""What must hold, one small class each. They see facts and bytes, never how a replica works."""
