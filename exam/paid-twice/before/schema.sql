CREATE TABLE invoices (id INTEGER PRIMARY KEY, customer TEXT NOT NULL);
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    invoice_id INTEGER NOT NULL REFERENCES invoices (id),
    pieces INTEGER NOT NULL,
    cents INTEGER NOT NULL -- each
);
CREATE TABLE payments (
    id INTEGER PRIMARY KEY,
    invoice_id INTEGER NOT NULL REFERENCES invoices (id),
    cents INTEGER NOT NULL
);
