"""The OpenAPI document of the service.

Rule of this folder: it describes what the declarations and the endpoints do, and nothing here serves a request.
"""
