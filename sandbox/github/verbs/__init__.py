"""What can happen on the sandbox's GitHub: each changes the state and tells the App's webhook."""
