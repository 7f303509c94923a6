"""The ledger for a warehouse: one file of rows in one schema (`bigquery.json`), each row once.

`looker/` has a view and an explore over that table as LookML.
"""
