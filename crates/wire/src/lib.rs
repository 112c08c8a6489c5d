//! Generated messages and services, and their conversion to and from domain types
