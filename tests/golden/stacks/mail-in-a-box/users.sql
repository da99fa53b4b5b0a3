CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, password TEXT NOT NULL);
CREATE TABLE aliases (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL UNIQUE, destination TEXT NOT NULL, permitted_senders TEXT);
INSERT INTO users (email, password) VALUES ('admin@box.example.com', 'x'), ('user@example.com', 'x');
INSERT INTO aliases (source, destination) VALUES ('postmaster@example.com', 'admin@box.example.com'), ('sales@example.com', 'user@example.com');
