CREATE TABLE tickets (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    holder TEXT -- who works on it; NULL: nobody yet
);
