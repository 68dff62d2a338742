"""Files that outlive a request: results in a folder or in S3, and the signatures of links to them."""
