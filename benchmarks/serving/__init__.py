"""What serving costs and contains, beside a bare server and beside other libraries."""
