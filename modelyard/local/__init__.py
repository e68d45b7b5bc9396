"""This machine: detached services, and the executor that runs launches as processes here."""
