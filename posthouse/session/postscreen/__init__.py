"""postscreen: new clients are tested before an SMTP server speaks with them."""
