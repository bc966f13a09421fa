"""Who is woken by what: new files, growing files, ended jobs, and the events of one job."""
