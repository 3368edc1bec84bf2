"""What `kill_campaign.py` kills, what that works on, and what is looked at afterwards."""
