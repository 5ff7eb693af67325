"""The parameters of a deployment: what AWS tells, what is asked, where they are written."""
